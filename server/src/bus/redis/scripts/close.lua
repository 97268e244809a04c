-- KEYS: meta, events. ARGV: the event. 1: the caller has closed it.
local closed = redis.call('HGET', KEYS[1], 'closed')
if not closed then return -1 end
if closed ~= '0' then return 0 end
redis.call('HSET', KEYS[1], 'closed', '1')
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('XADD', KEYS[2], string.format('%.0f-0', n), 'e', ARGV[1])
if n == 1 then redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1])) end
return 1
