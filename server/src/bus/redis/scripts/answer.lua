-- KEYS: meta, events, the host's page, lines. ARGV: the job's key, the host's bits in its page, the event, its tag, the
-- line. Gives whether it was taken, and where the lines begin and end. A line's id is where it ends, counted in bytes with
-- a newline each; an empty one is none.
local state = redis.call('HMGET', KEYS[1], 'closed', 'job', KEYS[3], 'first', 'end')
if not state[1] or (state[2] or '') ~= ARGV[1] then return {-1, '0', '0'} end
local first, last = state[4], state[5]
if state[1] ~= '0' then return {0, first, last} end
-- A page without a field was left by an earlier job.
if not state[3] then redis.call('UNLINK', KEYS[3]) end
if redis.call('BITFIELD', KEYS[3], 'GET', 'u2', ARGV[2])[1] == 2 then return {0, first, last} end
redis.call('BITFIELD', KEYS[3], 'SET', 'u2', ARGV[2], 2)
if not state[3] then
    redis.call('HSET', KEYS[1], KEYS[3], '')
    redis.call('PEXPIRE', KEYS[3], redis.call('PTTL', KEYS[1]))
end
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('XADD', KEYS[2], string.format('%.0f-0', n), 'e', ARGV[3], 't', ARGV[4])
if redis.call('XLEN', KEYS[2]) == 1 then redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1])) end
if ARGV[5] == '' then return {1, first, last} end
last = string.format('%.0f', last + #ARGV[5] + 1)
redis.call('HSET', KEYS[1], 'end', last)
redis.call('XADD', KEYS[4], last .. '-0', 'l', ARGV[5])
if redis.call('XLEN', KEYS[4]) == 1 then redis.call('PEXPIRE', KEYS[4], redis.call('PTTL', KEYS[1])) end
return {1, first, last}
