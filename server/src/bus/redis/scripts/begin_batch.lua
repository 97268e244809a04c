-- KEYS: turn, last batch. ARGV: the replica, how long its turn lasts in ms. Gives whether it is the replica's turn to
-- keep a batch of this host, and the hashes of the last one.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {0, ''} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, redis.call('GET', KEYS[2]) or ''}
