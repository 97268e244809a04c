-- KEYS: lock, last batch. ARGV: the node, whether the batch was kept, when it was accepted with its
-- hashes (empty: none to store), how long they are kept in ms.
-- Gives 0 when this node no longer held the lock.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[2] == '1' then
    if ARGV[3] == '' then redis.call('DEL', KEYS[2]) else redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4]) end
end
return 1
