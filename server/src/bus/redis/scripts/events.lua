-- KEYS: meta, events, lines. ARGV: the job's key, the last position that was read, the tag of the event there, the position
-- behind it, most events, the highest position that the caller has heard of. Gives -1 when the job is not there, 0 and the
-- events from that position on, or 1 and the events from the first on: nothing was read yet, or another event stands where
-- the last one stood.
local state = redis.call('HMGET', KEYS[1], 'closed', 'job', 'first', 'end', 'n')
if not state[1] or (state[2] or '') ~= ARGV[1] then return {-1, {}} end
-- Redis has dropped the events and kept the rest: nobody could tell who is settled, so the job is to be made anew.
if state[5] ~= state[3] and redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('UNLINK', KEYS[1])
    return {-1, {}}
end
if ARGV[2] == '0' then return {1, redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', ARGV[5])} end
local last = redis.call('XRANGE', KEYS[2], ARGV[2], ARGV[2])[1]
if last and (last[2][4] or '0') == ARGV[3] then
    return {0, redis.call('XRANGE', KEYS[2], ARGV[4], '+', 'COUNT', ARGV[5])}
end
-- A failover has lost events, and lines with them. What comes from now on gets positions and cursors beyond all that were
-- given out.
local now = position_beyond(math.max(
    tonumber(state[4]), tonumber(state[5]), last_position(KEYS[2]), last_position(KEYS[3]), tonumber(ARGV[6])))
local text = string.format('%.0f', now)
redis.call('HSET', KEYS[1], 'n', text, 'end', text, 'first', string.format('%.0f', now - (state[4] - state[3])))
return {1, redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', ARGV[5])}
