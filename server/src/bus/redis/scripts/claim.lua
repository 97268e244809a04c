-- KEYS: meta, events, the host's page. ARGV: the host's bits in its page, the event. 1: the host was pending and is
-- claimed. The event is appended in the same step, so that no node sees a claim without it.
local closed = redis.call('HGET', KEYS[1], 'closed')
if not closed then return -1 end
if closed ~= '0' or redis.call('BITFIELD', KEYS[3], 'GET', 'u2', ARGV[1])[1] ~= 0 then return 0 end
redis.call('BITFIELD', KEYS[3], 'SET', 'u2', ARGV[1], 1)
if redis.call('HSETNX', KEYS[1], KEYS[3], '') == 1 then
    redis.call('PEXPIRE', KEYS[3], redis.call('PTTL', KEYS[1]))
end
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('XADD', KEYS[2], string.format('%.0f-0', n), 'e', ARGV[2])
if n == 1 then redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1])) end
return 1
