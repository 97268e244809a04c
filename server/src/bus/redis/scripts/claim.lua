-- KEYS: meta, events, the host's page. ARGV: the job's key, the host's bits in its page, the event, its tag. 1: the host
-- was pending and is claimed. The event is appended in the same step, so that no node sees a claim without it.
local state = redis.call('HMGET', KEYS[1], 'closed', 'job', KEYS[3])
if not state[1] or (state[2] or '') ~= ARGV[1] then return -1 end
if state[1] ~= '0' then return 0 end
if host_bits(KEYS[3], state[3], ARGV[2]) ~= 0 then return 0 end
append_event(ARGV[3], ARGV[4])
set_host_bits(KEYS[3], state[3], ARGV[2], 1)
return 1
