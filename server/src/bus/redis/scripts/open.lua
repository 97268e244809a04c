-- KEYS: meta, events, lines, then the pages of hosts that are settled. ARGV: lifetime in ms, the first event if it goes on
-- from a checkpoint, then the pages' contents. Gives whether it was made, and where its lines begin and end.
local found = redis.call('HMGET', KEYS[1], 'end', 'first')
if found[1] then return {0, found[1], found[2]} end
local first = '0'
if ARGV[2] ~= '' then
    -- Microseconds since 1970: beyond any cursor and event given out before, and whole in a double until 2255.
    local now = redis.call('TIME')
    first = string.format('%.0f', now[1] * 1000000 + now[2])
end
redis.call('UNLINK', KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'closed', '0', 'n', first, 'end', first, 'first', first)
for i = 4, #KEYS do
    redis.call('SET', KEYS[i], ARGV[i - 1], 'PX', ARGV[1])
    redis.call('HSET', KEYS[1], KEYS[i], '')
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
if ARGV[2] ~= '' then
    local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
    redis.call('XADD', KEYS[2], string.format('%.0f-0', n), 'e', ARGV[2])
    redis.call('PEXPIRE', KEYS[2], ARGV[1])
end
return {1, first, first}
