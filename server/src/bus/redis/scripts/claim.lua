-- KEYS: meta, events, then the pages of the hosts. ARGV: the job's key, the time in microseconds since 1970, by how much
-- clocks differ, then for each host the number of its page among those in KEYS, its bits there, the event, its tag, 1 if it is a
-- canary. Gives -1 when the job is not there, from when on the rate has room, and for each host 1: it was pending and is
-- claimed, 0: it was not, 2: the rate holds it back, 3: a pause does, or canaries that have not spoken. The event is appended in
-- the same step, so that no node sees a claim without it. `LivePace::take` counts in the same way.
local state = redis.call('HMGET', KEYS[1], 'closed', 'job', 'paused', 'rate', 'due', 'canaries', unpack(KEYS, 3))
if not state[1] or (state[2] or '') ~= ARGV[1] then return {-1, '0', {}} end
local now, rate, due = tonumber(ARGV[2]), tonumber(state[4] or '0'), tonumber(state[5] or '0')
local each = rate > 0 and math.ceil(1000000 / rate) or 0
if due > now + tonumber(ARGV[3]) then due = now - each end
due = math.max(due, now - rate * each)
local outcomes, taken = {}, false
for i = 4, #ARGV, 5 do
    local page = 2 + tonumber(ARGV[i])
    local outcome = 2
    if state[1] ~= '0' or host_bits(KEYS[page], state[page + 4], ARGV[i + 1]) ~= 0 then
        outcome = 0
    elseif state[3] == '1' and not (state[6] == '1' and ARGV[i + 4] == '1') then
        outcome = 3
    elseif rate == 0 or due + each <= now then
        outcome, due, taken = 1, due + each, true
        append_event(ARGV[i + 2], ARGV[i + 3])
        set_host_bits(KEYS[page], state[page + 4], ARGV[i + 1], 1)
        state[page + 4] = ''
    end
    outcomes[#outcomes + 1] = outcome
end
if taken and rate > 0 then redis.call('HSET', KEYS[1], 'due', string.format('%.0f', due)) end
return {1, string.format('%.0f', due + each), outcomes}
