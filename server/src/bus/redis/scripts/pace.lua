-- KEYS: meta, events. ARGV: the job's key, the rate, 1 when hosts are held back, how often the pace was set, the event, its tag,
-- 1 when canaries are not held back. A node of the version before knows a pause alone, and leaves the last field as it is.
-- 1: it took effect, 0: a pace that was set later counts, or the job is over.
local state = redis.call('HMGET', KEYS[1], 'closed', 'job', 'paced')
if not state[1] or (state[2] or '') ~= ARGV[1] then return -1 end
if state[1] ~= '0' or tonumber(state[3] or '0') >= tonumber(ARGV[4]) then return 0 end
append_event(ARGV[5], ARGV[6])
redis.call('HSET', KEYS[1], 'rate', ARGV[2], 'paused', ARGV[3], 'paced', ARGV[4], 'canaries', ARGV[7])
return 1
