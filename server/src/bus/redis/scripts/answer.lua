-- KEYS: meta, events, the host's page, lines. ARGV: the host's bits in its page, the event, the line. Gives whether it
-- was taken, and the end of the lines. A line's id is where it ends, counted in bytes with a newline each; an empty one is
-- none.
local state = redis.call('HMGET', KEYS[1], 'closed', 'end')
if not state[1] then return {-1, '0'} end
if state[1] ~= '0' or redis.call('BITFIELD', KEYS[3], 'GET', 'u2', ARGV[1])[1] == 2 then return {0, state[2]} end
redis.call('BITFIELD', KEYS[3], 'SET', 'u2', ARGV[1], 2)
if redis.call('HSETNX', KEYS[1], KEYS[3], '') == 1 then
    redis.call('PEXPIRE', KEYS[3], redis.call('PTTL', KEYS[1]))
end
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('XADD', KEYS[2], string.format('%.0f-0', n), 'e', ARGV[2])
if n == 1 then redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1])) end
if ARGV[3] == '' then return {1, state[2]} end
local last = string.format('%.0f', state[2] + #ARGV[3] + 1)
redis.call('HSET', KEYS[1], 'end', last)
redis.call('XADD', KEYS[4], last .. '-0', 'l', ARGV[3])
if redis.call('XLEN', KEYS[4]) == 1 then redis.call('PEXPIRE', KEYS[4], redis.call('PTTL', KEYS[1])) end
return {1, last}
