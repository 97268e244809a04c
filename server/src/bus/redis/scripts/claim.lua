-- KEYS: meta, events, the host's page. ARGV: the job's key, the host's bits in its page, the event, its tag. 1: the host
-- was pending and is claimed. The event is appended in the same step, so that no node sees a claim without it.
local state = redis.call('HMGET', KEYS[1], 'closed', 'job', KEYS[3])
if not state[1] or (state[2] or '') ~= ARGV[1] then return -1 end
if state[1] ~= '0' then return 0 end
-- A page without a field was left by an earlier job.
if not state[3] then redis.call('UNLINK', KEYS[3]) end
if redis.call('BITFIELD', KEYS[3], 'GET', 'u2', ARGV[2])[1] ~= 0 then return 0 end
redis.call('BITFIELD', KEYS[3], 'SET', 'u2', ARGV[2], 1)
if not state[3] then
    redis.call('HSET', KEYS[1], KEYS[3], '')
    redis.call('PEXPIRE', KEYS[3], redis.call('PTTL', KEYS[1]))
end
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('XADD', KEYS[2], string.format('%.0f-0', n), 'e', ARGV[3], 't', ARGV[4])
if redis.call('XLEN', KEYS[2]) == 1 then redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1])) end
return 1
