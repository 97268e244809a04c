-- KEYS: meta, events, lines, then the pages of hosts that are settled. ARGV: the job's key, the earliest moment in
-- microseconds at which it may have been made, lifetime in ms, the first event if it goes on from a checkpoint, its tag,
-- the highest position that the caller has heard of, then the pages' contents. Gives whether it was made, and where its
-- lines begin and end.
local found = redis.call('HMGET', KEYS[1], 'first', 'end', 'job')
if found[1] then
    local job = found[3] or ''
    -- A node of an older version does not say which job it makes anew. When it did so after this job was made, it is this
    -- one; otherwise it is an earlier one with the same id.
    if job == '' and ARGV[1] ~= '' and tonumber(found[1]) >= tonumber(ARGV[2]) then
        redis.call('HSET', KEYS[1], 'job', ARGV[1])
        job = ARGV[1]
    end
    if job == ARGV[1] then return {0, found[1], found[2]} end
end
local first = '0'
if found[1] or ARGV[4] ~= '' then
    first = string.format('%.0f', position_beyond(tonumber(ARGV[6])))
end
redis.call('UNLINK', unpack(KEYS))
redis.call('HSET', KEYS[1], 'closed', '0', 'n', first, 'end', first, 'first', first)
if ARGV[1] ~= '' then redis.call('HSET', KEYS[1], 'job', ARGV[1]) end
for i = 4, #KEYS do
    redis.call('SET', KEYS[i], ARGV[i + 3], 'PX', ARGV[3])
    redis.call('HSET', KEYS[1], KEYS[i], '')
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if ARGV[4] ~= '' then append_event(ARGV[4], ARGV[5]) end
return {1, first, first}
