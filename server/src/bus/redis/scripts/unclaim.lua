-- KEYS and ARGV as for claim. 1: the host was claimed and is pending again.
local state = redis.call('HMGET', KEYS[1], 'closed', 'job', KEYS[3])
if not state[1] or (state[2] or '') ~= ARGV[1] then return -1 end
-- A page without a field was left by an earlier job.
if state[1] ~= '0' or not state[3] then return 0 end
if redis.call('BITFIELD', KEYS[3], 'GET', 'u2', ARGV[2])[1] ~= 1 then return 0 end
redis.call('BITFIELD', KEYS[3], 'SET', 'u2', ARGV[2], 0)
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('XADD', KEYS[2], string.format('%.0f-0', n), 'e', ARGV[3], 't', ARGV[4])
return 1
