-- KEYS: meta, lines. ARGV: lowest and highest offset at which a line may end, most lines. Gives the end of the lines, and lines: at
-- least one if there is one, however far it reaches.
local last = redis.call('HGET', KEYS[1], 'end')
if not last then return {'-1', {}} end
local lines = redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
if #lines == 0 then lines = redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', 1) end
return {last, lines}
