-- KEYS: a node's term, the logs that others want of it. ARGV: a log, how long it is wanted in ms, most logs that are wanted.
-- Gives 0 when the term is over, and with it all leases that the node has taken until now.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if redis.call('SCARD', KEYS[2]) < tonumber(ARGV[3]) then
    redis.call('SADD', KEYS[2], ARGV[1])
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return 1
