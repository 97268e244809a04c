-- KEYS: the node's term, the logs that others want. ARGV: the term as the node knows it, how long the key lasts in ms, most
-- logs to give. A key that is not there, or has another term, begins a term that never was before.
-- Gives the term, and logs that others want, each once.
local term = redis.call('GET', KEYS[1])
if term ~= ARGV[1] then
    local time = redis.call('TIME')
    term = string.format('%d%06d', time[1], time[2])
end
redis.call('SET', KEYS[1], term, 'PX', ARGV[2])
return {term, redis.call('SPOP', KEYS[2], ARGV[3])}
