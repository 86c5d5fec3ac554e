-- One organization's use of one model, decided in one step so that no number of processes can overrun a limit.
--
-- KEYS[1] minute: zset of request ids by time (ms)      KEYS[2] weights: hash id -> tokens, and `sum`
-- KEYS[3] day: hash `r:M` and `t:M` per minute M, `r` and `t` their sums, `first` the oldest minute summed
-- KEYS[4] reservation of request `id`: hash `tokens`, `bucket`; it expires, so that a lost job leaves nothing behind
-- ARGV[1] operation; then
--   admit   id tokens rpm rpd tpm tpd     peek    (as admit; changes nothing but what expired)
--   correct id tokens                     release id
-- The last 60 s count exactly: an entry leaves when it is more than 60,000 ms old. Days are kept in one-minute buckets,
-- and a bucket leaves when its last instant is a day old.
local MINUTE, DAY_BUCKETS, KEEP_S, RESERVATION_S = 60000, 1441, 90000, 3600
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local bucket = math.floor(now / MINUTE)

local function number(key, field) return tonumber(redis.call('HGET', key, field) or 0) end

local function expire_minute()
  local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. (now - MINUTE))
  for _, id in ipairs(old) do
    redis.call('HINCRBY', KEYS[2], 'sum', 0 - number(KEYS[2], id))
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[1], id)
  end
end

local function expire_day()
  local first = number(KEYS[3], 'first')
  if first == 0 then return end
  for m = first, math.min(bucket - DAY_BUCKETS, first + 2 * DAY_BUCKETS) do
    redis.call('HINCRBY', KEYS[3], 'r', 0 - number(KEYS[3], 'r:' .. m))
    redis.call('HINCRBY', KEYS[3], 't', 0 - number(KEYS[3], 't:' .. m))
    redis.call('HDEL', KEYS[3], 'r:' .. m, 't:' .. m)
  end
  if bucket - DAY_BUCKETS >= first then redis.call('HSET', KEYS[3], 'first', bucket - DAY_BUCKETS + 1) end
end

-- Takes tokens (and the request itself) back from what an admission still counts for.
local function take_back(id, tokens, requests)
  if redis.call('ZSCORE', KEYS[1], id) then
    redis.call('HINCRBY', KEYS[2], 'sum', 0 - tokens)
    redis.call('HINCRBY', KEYS[2], id, 0 - tokens)
  end
  local m = number(KEYS[4], 'bucket')
  if m >= number(KEYS[3], 'first') then
    redis.call('HINCRBY', KEYS[3], 't:' .. m, 0 - tokens)
    redis.call('HINCRBY', KEYS[3], 't', 0 - tokens)
    redis.call('HINCRBY', KEYS[3], 'r:' .. m, 0 - requests)
    redis.call('HINCRBY', KEYS[3], 'r', 0 - requests)
  end
end

local operation, id, tokens = ARGV[1], ARGV[2], tonumber(ARGV[3] or 0)
expire_minute()
expire_day()

if operation == 'correct' or operation == 'release' then
  if redis.call('EXISTS', KEYS[4]) == 0 then return {0} end
  local reserved = number(KEYS[4], 'tokens')
  if operation == 'correct' then
    take_back(id, reserved - math.min(tokens, reserved), 0)
  else
    take_back(id, reserved, 1)
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', KEYS[2], id)
  end
  redis.call('DEL', KEYS[4])
  return {1}
end

local rpm, rpd, tpm, tpd = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local used = {redis.call('ZCARD', KEYS[1]), number(KEYS[3], 'r'), number(KEYS[2], 'sum'), number(KEYS[3], 't')}

-- How long until `need` has left the minute (by request or by token).
local function minute_wait(need, by_tokens)
  local freed, entries = 0, redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
  for i = 1, #entries, 2 do
    freed = freed + (by_tokens and number(KEYS[2], entries[i]) or 1)
    if freed >= need then return math.max(1, entries[i + 1] + MINUTE + 1 - now) end
  end
  return MINUTE
end

local function day_wait(need, field)
  local freed = 0
  for m = number(KEYS[3], 'first'), bucket do
    freed = freed + number(KEYS[3], field .. ':' .. m)
    if freed >= need then return (m + DAY_BUCKETS) * MINUTE - now end
  end
  return DAY_BUCKETS * MINUTE
end

local refused, wait = 0, 0
if used[1] + 1 > rpm then refused, wait = 1, minute_wait(used[1] + 1 - rpm, false)
elseif used[2] + 1 > rpd then refused, wait = 2, day_wait(used[2] + 1 - rpd, 'r')
elseif used[3] + tokens > tpm then refused, wait = 3, minute_wait(used[3] + tokens - tpm, true)
elseif used[4] + tokens > tpd then refused, wait = 4, day_wait(used[4] + tokens - tpd, 't') end
local used_before = refused > 0 and used[refused] or 0

if operation == 'admit' and refused == 0 then
  redis.call('ZADD', KEYS[1], now, id)
  redis.call('HSET', KEYS[2], id, tokens)
  redis.call('HSET', KEYS[4], 'tokens', tokens, 'bucket', bucket)
  redis.call('EXPIRE', KEYS[4], RESERVATION_S)
  redis.call('HINCRBY', KEYS[2], 'sum', tokens)
  if number(KEYS[3], 'first') == 0 then redis.call('HSET', KEYS[3], 'first', bucket) end
  redis.call('HINCRBY', KEYS[3], 'r:' .. bucket, 1)
  redis.call('HINCRBY', KEYS[3], 't:' .. bucket, tokens)
  redis.call('HINCRBY', KEYS[3], 'r', 1)
  redis.call('HINCRBY', KEYS[3], 't', tokens)
  for i = 1, 3 do redis.call('EXPIRE', KEYS[i], KEEP_S) end
  used = {used[1] + 1, used[2] + 1, used[3] + tokens, used[4] + tokens}
end

-- When all that counts now will have left: the newest entry of the minute, the newest bucket of the day.
local newest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
local minute_reset = newest[2] and math.max(0, newest[2] + MINUTE + 1 - now) or 0
local day_reset = 0
if used[2] > 0 then
  for m = bucket, number(KEYS[3], 'first'), -1 do
    if number(KEYS[3], 'r:' .. m) > 0 then day_reset = (m + DAY_BUCKETS) * MINUTE - now break end
  end
end
return {refused, used_before, wait, rpd - used[2], day_reset, tpm - used[3], minute_reset}
