-- Who computes a job, and how many jobs of one deployment are computed at once, decided in one step.
--
-- KEYS[1] lease of the job      KEYS[2] slots: zset of job ids by the time (ms) at which each lapses
-- KEYS[3] waiting: zset of job ids by the time (ms) at which each came
-- ARGV[1] operation, then
--   take    token lease_ms id max     1 it is ours; 0 somebody is at it; -1 every slot is taken, and it waits
--   renew   token lease_ms id         keeps lease and slot
--   release token lease_ms id max     gives back lease and slot; answers the waiting jobs that got a slot
--   wake    ''    lease_ms ''  max    answers the waiting jobs that got a slot which nobody holds any more
-- A deployment without a bound has max 0, and no slots. A slot that was given to a waiting job is kept for it until its
-- message is taken up.
local operation, token, lease_ms, id, max = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5] or 0)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local CALLED = 5

local function give_slots()
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  local called = {}
  while max > redis.call('ZCARD', KEYS[2]) do
    local first = redis.call('ZRANGE', KEYS[3], 0, 0)[1]
    if not first then break end
    redis.call('ZREM', KEYS[3], first)
    redis.call('ZADD', KEYS[2], now + CALLED * lease_ms, first)
    called[#called + 1] = first
  end
  return called
end

if operation == 'take' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
  if max > 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
    if not redis.call('ZSCORE', KEYS[2], id) and redis.call('ZCARD', KEYS[2]) >= max then
      redis.call('ZADD', KEYS[3], 'NX', now, id)
      return -1
    end
    redis.call('ZADD', KEYS[2], now + lease_ms, id)
    redis.call('ZREM', KEYS[3], id)
  end
  redis.call('SET', KEYS[1], token, 'PX', lease_ms)
  return 1
end

if operation == 'renew' then
  redis.call('SET', KEYS[1], token, 'PX', lease_ms)
  if max > 0 then redis.call('ZADD', KEYS[2], now + lease_ms, id) end
  return 1
end

-- Only while the lease is still ours: after a pause another worker may have taken it, and the slot with it.
if operation == 'release' and redis.call('GET', KEYS[1]) == token then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], id)
end
return max > 0 and give_slots() or {}
