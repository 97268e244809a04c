-- KEYS: lock, last batch. ARGV: the node, how long its lock lasts in ms, the last batch that it has kept and others do not
-- know (when it was accepted and its hashes; empty: none), how long that is stored in ms, then leases of other nodes that
-- have ended.
-- Gives 1, when the last batch was accepted and its hashes: the node holds the lock, to keep a batch of this host. A lease
-- of its own becomes the lock; then its last batch is the last of all. Otherwise gives 0 and the lease that another node
-- has, or ''.
local holder = redis.call('GET', KEYS[1])
local leased_by = holder and string.match(holder, '^lease (%S+) %d+$')
if leased_by == ARGV[1] then
    if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4]) end
elseif holder and holder ~= ARGV[1] then
    local has_ended = false
    for i = 5, #ARGV do has_ended = has_ended or holder == ARGV[i] end
    if not has_ended then return {0, leased_by and holder or ''} end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, redis.call('GET', KEYS[2]) or ''}
