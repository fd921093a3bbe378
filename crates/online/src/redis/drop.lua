-- Deletes the rows at KEYS but the first, which are of the generation ARGV[1]: its number in four bytes. Nothing is deleted where
-- the entry at KEYS[1] calls that generation the current one or the next, as it may again after a failover, and the answer is
-- -1. Otherwise it is how many rows there were.
local held = redis.call('GET', KEYS[1]) or ''
local none = string.char(0, 0, 0, 0)
local current, next_one = none, none
if #held > 16 and string.byte(held, 17) >= 2 then
  current, next_one = string.sub(held, 18, 21), string.sub(held, 26, 29)
end
if ARGV[1] == current or (ARGV[1] == next_one and next_one ~= none) then
  return -1
end
local gone = 0
for i = 2, #KEYS do
  gone = gone + redis.call('DEL', KEYS[i])
end
return gone
