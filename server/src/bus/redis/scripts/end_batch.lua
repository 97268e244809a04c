-- KEYS: lock, last batch. ARGV: the node, whether a batch was kept, when it was accepted with its
-- hashes (empty: none to store), how long they are kept in ms, the lease that the node takes instead of unlocking, or '',
-- how long its key lasts in ms.
-- Gives 0 when this node holds neither the lock nor a lease any more.
local holder = redis.call('GET', KEYS[1]) or ''
if holder ~= ARGV[1] and string.match(holder, '^lease (%S+) %d+$') ~= ARGV[1] then return 0 end
if ARGV[2] == '1' then
    if ARGV[3] == '' then redis.call('DEL', KEYS[2]) else redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4]) end
end
-- Last, because storing the batch may fail for lack of memory; then nobody else may keep one.
if ARGV[5] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[5], 'PX', ARGV[6]) end
return 1
