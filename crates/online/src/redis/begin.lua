-- Returns the marks at KEYS[1] and the id of this run of the server. Where there are none, an empty entry with the
-- nonce ARGV[1] is made, so that a flush after this is seen; without a nonce there stay none.
local info = redis.pcall('INFO', 'server')
local server = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
local held = redis.call('GET', KEYS[1]) or ''
if held == '' and ARGV[1] ~= '' then
  held = ARGV[1] .. string.char(0)
  redis.call('SET', KEYS[1], held)
end
return {held, server}
