-- KEYS: a node's term, the logs that others want of it. ARGV: a log, how long it is wanted in ms, most logs that are wanted.
-- Gives for how many ms the term goes on if the node does not renew it; 0 when it is over, and with it all leases that the
-- node has taken until now.
local left = redis.call('PTTL', KEYS[1])
if left == -2 then return 0 end
if redis.call('SCARD', KEYS[2]) < tonumber(ARGV[3]) then
    redis.call('SADD', KEYS[2], ARGV[1])
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return math.max(left, 1)
