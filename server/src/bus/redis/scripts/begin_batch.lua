-- KEYS: lock, last batch. ARGV: the node, how long its lock lasts in ms, a lease of another node that has ended, or ''.
-- Gives 1, when the last batch was accepted and its hashes: the node holds the lock, to keep a batch of this host. A lease
-- of its own becomes the lock. Otherwise gives 0 and the lease that another node has, or ''.
local holder = redis.call('GET', KEYS[1])
local leased_by = holder and string.match(holder, '^lease (%S+) %d+$')
if holder and holder ~= ARGV[1] and leased_by ~= ARGV[1] and not (leased_by and holder == ARGV[3]) then
    return {0, leased_by and holder or ''}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, redis.call('GET', KEYS[2]) or ''}
