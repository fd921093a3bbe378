-- Sets each of KEYS to what it is to be, or deletes it where that is nothing, if all of them are still as they were. ARGV has, for
-- each key, what it was ('' for nothing, '*' for whatever it was) and what it is to be. Returns whether it did so.
for i = 1, #KEYS do
  local was = ARGV[2 * i - 1]
  if was ~= '*' and (redis.call('GET', KEYS[i]) or '') ~= was then
    return 0
  end
end
for i = 1, #KEYS do
  local new = ARGV[2 * i]
  if new == '' then
    redis.call('DEL', KEYS[i])
  else
    redis.call('SET', KEYS[i], new)
  end
end
return 1
