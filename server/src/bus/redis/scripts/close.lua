-- KEYS: meta, events. ARGV: the job's key, the event, its tag. 1: the caller has closed it.
local state = redis.call('HMGET', KEYS[1], 'closed', 'job')
if not state[1] or (state[2] or '') ~= ARGV[1] then return -1 end
if state[1] ~= '0' then return 0 end
append_event(ARGV[2], ARGV[3])
redis.call('HSET', KEYS[1], 'closed', '1')
return 1
