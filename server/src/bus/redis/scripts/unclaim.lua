-- KEYS and ARGV as for claim. 1: the host was claimed and is pending again.
local closed = redis.call('HGET', KEYS[1], 'closed')
if not closed then return -1 end
if closed ~= '0' or redis.call('BITFIELD', KEYS[3], 'GET', 'u2', ARGV[1])[1] ~= 1 then return 0 end
redis.call('BITFIELD', KEYS[3], 'SET', 'u2', ARGV[1], 0)
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('XADD', KEYS[2], string.format('%.0f-0', n), 'e', ARGV[2])
return 1
