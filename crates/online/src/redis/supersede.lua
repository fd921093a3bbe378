-- Sets each of KEYS to the record beside it in ARGV, if that is greater by its first 25 bytes.
-- They are compared as bytes: Lua's numbers are doubles and would lose the low bits of a time, and its `<` on
-- strings follows the server's locale. Returns how many were set.
local written = 0
for i = 1, #KEYS do
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
