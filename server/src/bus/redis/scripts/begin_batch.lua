-- KEYS: lock, last batch. ARGV: the node, how long its lock lasts in ms. Gives whether the node holds the lock, to
-- keep a batch of this host, and when the last one was accepted with its hashes.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {0, ''} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, redis.call('GET', KEYS[2]) or ''}
