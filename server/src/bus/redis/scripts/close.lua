-- KEYS: meta, events. ARGV: the job's key, the event, its tag. 1: the caller has closed it.
local state = redis.call('HMGET', KEYS[1], 'closed', 'job')
if not state[1] or (state[2] or '') ~= ARGV[1] then return -1 end
if state[1] ~= '0' then return 0 end
redis.call('HSET', KEYS[1], 'closed', '1')
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('XADD', KEYS[2], string.format('%.0f-0', n), 'e', ARGV[2], 't', ARGV[3])
if redis.call('XLEN', KEYS[2]) == 1 then redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1])) end
return 1
