-- KEYS: meta, events. ARGV: first position, most events. Gives whether the job is there, and the events.
if redis.call('EXISTS', KEYS[1]) == 0 then return {-1, {}} end
return {1, redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', ARGV[2])}
