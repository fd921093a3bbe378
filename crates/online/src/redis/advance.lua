-- Sets the marks at KEYS[1] from ARGV[1] to ARGV[3], if they are still that and the server has not been restarted or
-- replaced since (its run is still ARGV[2]). The server's run is noted behind them: who finds it on another server knows
-- that rows may be missing. Returns whether it did so, and what was there.
local info = redis.pcall('INFO', 'server')
local server = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
local held = redis.call('GET', KEYS[1]) or ''
if held == ARGV[1] and server == ARGV[2] then
  redis.call('SET', KEYS[1], ARGV[3] .. server)
  return {1, held}
end
return {0, held}
