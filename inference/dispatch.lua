-- The jobs that wait for a model, who computes which, and how many of one deployment at once: decided in one step.
--
-- ARGV[1] operation  ARGV[2] prefix of all keys  ARGV[3] model  ARGV[4] token of the caller  ARGV[5] lease_ms; then
--   enqueue  id deployment max tier organization deadline_ms limit sealed_prompt keep_s
--            {1, ahead, wake}; {0} it waits or runs already; {-1} the queue is full; {-2} flex, and nothing is free.
--            A limit of 0 puts a job back that had begun or was lost: it is refused nothing and waits first.
--   claim    most                {more, wake, then id, deployment, state, prompt, has_stream of each}; state: 0 to be computed,
--            1 its client is gone, 2 its deadline has passed
--   renew    (id deployment)...  keeps leases and slots; answers the ids that somebody else holds now
--   release  (id deployment)...  gives back leases and slots; {wake}
--   finish   keep_s (id deployment ending)...  the same for jobs that were settled: tells their readers how they ended,
--            forgets their prompts
--   leave                        the caller listens to the bell no longer; {wake}
--   beat     worker alive_ms     the worker serves the model; {wake} if something waits that could run
--   find     id                  {ahead, ms per job of late} of a waiting job
-- `wake` 1 asks the caller to send a wake-up through Celery; while a worker listens, a push to the bell does.
--
-- Of a deployment d, tier t, organization o: `d:t:o` is a list of jobs, `d:t` the ring of organizations that have some.
local operation, root, token, lease_ms = ARGV[1], ARGV[2], ARGV[4], tonumber(ARGV[5])
local q = root .. 'dispatch:' .. ARGV[3] .. ':'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local TIERS, WEIGHTS = {'on_demand', 'flex', 'batch'}, {on_demand = 16, flex = 4, batch = 1}
local LISTENS_MS, WAKE_MS, SLOW = 3000, 1000, 0.2

local function lease(id) return root .. 'lease:' .. id end
local function job_key(id, what) return root .. 'job:' .. id .. ':' .. what end
local function slots(d) return root .. 'deployment:' .. d .. ':slots' end
local function count(key) return redis.call('ZCOUNT', key, now, '+inf') end

-- A model without a deployment has no slots.
local function running(d)
  if d == '0' then return 0 end
  redis.call('ZREMRANGEBYSCORE', slots(d), '-inf', now)
  return redis.call('ZCARD', slots(d))
end

local function parse(id)
  local found = redis.call('HGET', q .. 'jobs', id)
  if not found then return nil end
  return string.match(found, '^([^|]*)|([^|]*)|([^|]*)|([^|]*)$')
end

-- Every deployment that jobs wait for, as {id, max, how many more it may run}; a max of 0 is no bound.
local function list_deployments()
  local answer, found = {}, redis.call('HGETALL', q .. 'bounds')
  for i = 1, #found, 2 do
    local max = tonumber(found[i + 1])
    local runs = running(found[i])
    answer[#answer + 1] = {id = found[i], runs = runs, free = max > 0 and math.max(0, max - runs) or 1000000}
  end
  return answer
end

-- Calls somebody to what waits and could run. A worker that listens hears the bell; others are woken through Celery,
-- once, if nobody listens, or while those who do are busy.
local function ring(is_urgent)
  if redis.call('HLEN', q .. 'jobs') == 0 then return 0 end
  local free, runs = 0, 0
  for _, d in ipairs(list_deployments()) do free, runs = free + d.free, runs + d.runs end
  if free == 0 then return 0 end
  local listening, workers = count(q .. 'listening'), count(q .. 'workers')
  if listening > redis.call('LLEN', q .. 'bell') then redis.call('LPUSH', q .. 'bell', 1) end
  local is_enough = listening > 0 and (listening >= workers or runs == 0) and not is_urgent
  if is_enough or not redis.call('SET', q .. 'wake', 1, 'NX', 'PX', WAKE_MS) then return 0 end
  return 1
end

local function push(id, d, tier, organization, is_first)
  local list, round = q .. d .. ':' .. tier .. ':' .. organization, q .. d .. ':' .. tier
  if redis.call(is_first and 'LPUSH' or 'RPUSH', list, id) == 1 then
    redis.call(is_first and 'LPUSH' or 'RPUSH', round, organization)
  end
  redis.call('HINCRBY', q .. 'depth', tier, 1)
end

-- Smooth weighted round robin over the tiers that have jobs, round robin over the organizations of a tier.
local function pop(d)
  local best, most, total = nil, nil, 0
  for _, tier in ipairs(TIERS) do
    if redis.call('EXISTS', q .. d .. ':' .. tier) == 1 then
      local credit = redis.call('HINCRBY', q .. 'credit', tier, WEIGHTS[tier])
      total = total + WEIGHTS[tier]
      if not most or credit > most then best, most = tier, credit end
    end
  end
  if not best then return nil end
  redis.call('HINCRBY', q .. 'credit', best, 0 - total)
  local round = q .. d .. ':' .. best
  local organization = redis.call('LPOP', round)
  local list = round .. ':' .. organization
  local id = redis.call('LPOP', list)
  if redis.call('EXISTS', list) == 1 then redis.call('RPUSH', round, organization) end
  redis.call('HINCRBY', q .. 'depth', best, -1)
  return id
end

local function take(id, d, claimed)
  local _, _, _, deadline_ms = parse(id)
  redis.call('HDEL', q .. 'jobs', id)
  -- Computed by somebody already: a second message of it.
  if not deadline_ms or not redis.call('SET', lease(id), token, 'NX', 'PX', lease_ms) then return 0 end
  local state = 0
  if tonumber(deadline_ms) < now then state = 2
  elseif redis.call('EXISTS', job_key(id, 'cancel')) == 1 then state = 1 end
  if d ~= '0' then redis.call('ZADD', slots(d), now + lease_ms, id) end
  claimed[#claimed + 1] = id
  claimed[#claimed + 1] = d
  claimed[#claimed + 1] = state
  claimed[#claimed + 1] = redis.call('GET', job_key(id, 'prompt'))
  claimed[#claimed + 1] = redis.call('EXISTS', job_key(id, 'stream'))
  return 1
end

-- How long one claimed job takes of late, while others wait: what a waiting one has to expect per job before it.
local function note_pace(jobs, is_busy)
  local last, was_busy, pace = unpack(redis.call('HMGET', q .. 'pace', 'at', 'busy', 'ms'))
  if jobs == 0 then return end
  if was_busy == '1' then
    local sample = (now - last) / jobs
    pace = pace and pace + SLOW * (sample - pace) or sample
    redis.call('HSET', q .. 'pace', 'ms', string.format('%.3f', pace))
  end
  redis.call('HSET', q .. 'pace', 'at', string.format('%.3f', now), 'busy', is_busy and 1 or 0)
end

local function claim(most)
  redis.call('DEL', q .. 'wake')
  redis.call('ZADD', q .. 'listening', now + LISTENS_MS, token)
  local quota = math.min(most, math.ceil(redis.call('HLEN', q .. 'jobs') / math.max(1, count(q .. 'workers'))))
  local claimed, jobs = {}, 0
  for _, d in ipairs(list_deployments()) do
    while d.free > 0 and jobs < quota do
      local id = pop(d.id)
      if not id then redis.call('HDEL', q .. 'bounds', d.id) break end
      local is_ours = take(id, d.id, claimed)
      jobs, d.free = jobs + is_ours, d.free - is_ours
    end
  end
  local more = redis.call('HLEN', q .. 'jobs')
  note_pace(jobs, more > 0)
  return {more, more > 0 and ring(false) or 0, unpack(claimed)}
end

-- Only while it is still ours: after a pause somebody else may hold it, and the slot with it.
local function give_back(id, d)
  if redis.call('GET', lease(id)) == token then
    redis.call('DEL', lease(id))
    redis.call('ZREM', slots(d), id)
  end
end

local function finish(keep_s)
  for i = 7, #ARGV, 3 do
    local id = ARGV[i]
    redis.call('XADD', job_key(id, 'stream'), '*', 'e', '', 'end', ARGV[i + 2])
    redis.call('EXPIRE', job_key(id, 'stream'), keep_s)
    redis.call('DEL', job_key(id, 'prompt'), job_key(id, 'cancel'))
    give_back(id, ARGV[i + 1])
  end
  return {ring(false)}
end

local function release()
  for i = 6, #ARGV, 2 do give_back(ARGV[i], ARGV[i + 1]) end
  return {ring(false)}
end

local function renew()
  local lost = {}
  for i = 6, #ARGV, 2 do
    local id, holder = ARGV[i], redis.call('GET', lease(ARGV[i]))
    if holder and holder ~= token then
      lost[#lost + 1] = id
    else
      redis.call('SET', lease(id), token, 'PX', lease_ms)
      if ARGV[i + 1] ~= '0' then redis.call('ZADD', slots(ARGV[i + 1]), now + lease_ms, id) end
    end
  end
  return lost
end

local function enqueue(id, d, max, tier, organization, deadline_ms, limit, prompt, keep_s)
  local waiting, bound = redis.call('HLEN', q .. 'jobs'), tonumber(max)
  if redis.call('HEXISTS', q .. 'jobs', id) == 1 or redis.call('EXISTS', lease(id)) == 1 then return {0} end
  if limit > 0 and waiting >= limit then return {-1} end
  if limit > 0 and tier == 'flex' and bound > 0 and running(d) + waiting >= bound then return {-2} end
  if prompt ~= '' then redis.call('SET', job_key(id, 'prompt'), prompt, 'EX', keep_s) end
  redis.call('HSET', q .. 'bounds', d, max)
  redis.call('HSET', q .. 'jobs', id, table.concat({d, tier, organization, deadline_ms}, '|'))
  push(id, d, tier, organization, limit == 0)
  return {1, waiting, ring(limit == 0)}
end

-- In its own tier those that come before it; of the others as many as their weights let in meanwhile.
local function find(id)
  local d, tier, organization = parse(id)
  if not d then return {} end
  local round = q .. d .. ':' .. tier
  local own, is_past = redis.call('LPOS', round .. ':' .. organization, id) or 0, false
  local ahead = own
  for _, other in ipairs(redis.call('LRANGE', round, 0, -1)) do
    if other == organization then is_past = true
    else ahead = ahead + math.min(redis.call('LLEN', round .. ':' .. other), is_past and own or own + 1) end
  end
  local turns = ahead + 1
  for _, other in ipairs(TIERS) do
    local depth = tonumber(redis.call('HGET', q .. 'depth', other) or 0)
    if other ~= tier then ahead = ahead + math.min(depth, math.ceil(turns * WEIGHTS[other] / WEIGHTS[tier])) end
  end
  return {ahead, redis.call('HGET', q .. 'pace', 'ms')}
end

if operation == 'enqueue' then
  return enqueue(ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], tonumber(ARGV[12]), ARGV[13], ARGV[14])
elseif operation == 'claim' then return claim(tonumber(ARGV[6]))
elseif operation == 'renew' then return renew()
elseif operation == 'release' then return release()
elseif operation == 'finish' then return finish(ARGV[6])
elseif operation == 'leave' then
  redis.call('ZREM', q .. 'listening', token)
  return {ring(false)}
elseif operation == 'beat' then
  redis.call('ZADD', q .. 'workers', now + tonumber(ARGV[7]), ARGV[6])
  redis.call('ZREMRANGEBYSCORE', q .. 'workers', '-inf', now)
  redis.call('ZREMRANGEBYSCORE', q .. 'listening', '-inf', now)
  return {ring(false)}
else return find(ARGV[6]) end
