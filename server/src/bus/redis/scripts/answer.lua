-- KEYS: meta, events, lines, then the pages of the hosts. ARGV: the job's key, then for each host the number of its page
-- among those in KEYS, its bits there, the event, its tag, the line. Gives 1 or -1 when the job is not there, where the lines
-- begin and end, and for each host whether its answer was taken. A line's id is where it ends, counted in bytes with a
-- newline each; an empty one is none.
local state = redis.call('HMGET', KEYS[1], 'closed', 'job', 'first', 'end', unpack(KEYS, 4))
if not state[1] or (state[2] or '') ~= ARGV[1] then return {-1, '0', '0', {}} end
local last, outcomes = state[4], {}
for i = 2, #ARGV, 5 do
    local page, line = 3 + tonumber(ARGV[i]), ARGV[i + 4]
    local is_taken = state[1] == '0' and host_bits(KEYS[page], state[page + 1], ARGV[i + 1]) ~= 2
    if is_taken then
        if line ~= '' then
            last = string.format('%.0f', last + #line + 1)
            append(KEYS[3], last, 'l', line)
            redis.call('HSET', KEYS[1], 'end', last)
        end
        append_event(ARGV[i + 2], ARGV[i + 3])
        set_host_bits(KEYS[page], state[page + 1], ARGV[i + 1], 2)
        state[page + 1] = ''
    end
    outcomes[#outcomes + 1] = is_taken and 1 or 0
end
return {1, state[3], last, outcomes}
