-- Deletes the row at KEYS[2], if one is named, and gives the marks at KEYS[1], which stay, the nonce ARGV[1]: runs that
-- began on the old one write no more. Returns whether there was a row.
local held = redis.call('GET', KEYS[1]) or ''
local marks = #held > 16 and string.sub(held, 17) or string.char(0)
redis.call('SET', KEYS[1], ARGV[1] .. marks)
return KEYS[2] and redis.call('DEL', KEYS[2]) or 0
