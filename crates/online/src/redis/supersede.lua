-- Sets each of KEYS but the first to the record beside it in ARGV, if that is greater by its first 25 bytes. Nothing is set
-- unless the marks at KEYS[1] still have the nonce ARGV[1], and the answer is -1.
-- They are compared as bytes: Lua's numbers are doubles and would lose the low bits of a time, and its `<` on
-- strings follows the server's locale. Returns how many were set.
if redis.call('GETRANGE', KEYS[1], 0, 15) ~= ARGV[1] then
  return -1
end
local written = 0
for i = 2, #KEYS do
  local new = ARGV[i]
  local held = redis.call('GETRANGE', KEYS[i], 0, 24)
  local newer = #held < 25
  if not newer then
    for at = 1, 25 do
      local a, b = string.byte(new, at), string.byte(held, at)
      if a ~= b then
        newer = a > b
        break
      end
    end
  end
  if newer then
    redis.call('SET', KEYS[i], new)
    written = written + 1
  end
end
return written
