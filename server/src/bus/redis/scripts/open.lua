-- KEYS: meta, events, lines, then the pages of hosts that are settled. ARGV: lifetime in ms, whether it goes on from a
-- checkpoint, then the pages' contents. Gives whether it was made, and the end of its lines.
local found = redis.call('HGET', KEYS[1], 'end')
if found then return {0, found} end
local first = '0'
if ARGV[2] == '1' then
    -- Microseconds since 1970: beyond any cursor given out before, and whole in a double until 2255.
    local now = redis.call('TIME')
    first = string.format('%.0f', now[1] * 1000000 + now[2])
end
redis.call('UNLINK', KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'closed', '0', 'n', '0', 'end', first)
for i = 4, #KEYS do
    redis.call('SET', KEYS[i], ARGV[i - 1], 'PX', ARGV[1])
    redis.call('HSET', KEYS[1], KEYS[i], '')
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {1, first}
