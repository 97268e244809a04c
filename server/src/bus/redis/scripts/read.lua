-- KEYS: meta, lines. ARGV: the job's key, lowest and highest offset at which a line may end, most lines. Gives 1 or -1 when
-- the job is not there, where the lines begin and end, and lines: at least one if there is one, however far it reaches.
local state = redis.call('HMGET', KEYS[1], 'first', 'end', 'job')
if not state[1] or (state[3] or '') ~= ARGV[1] then return {-1, '0', '0', {}} end
local lines = redis.call('XRANGE', KEYS[2], ARGV[2], ARGV[3], 'COUNT', ARGV[4])
if #lines == 0 then lines = redis.call('XRANGE', KEYS[2], ARGV[2], '+', 'COUNT', 1) end
return {1, state[1], state[2], lines}
