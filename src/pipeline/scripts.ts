/**
 * The changes to the window that must happen at once, as Lua. Each answers -1 when the window is lost: state is created by
 * a rebuild from the ledger and by nothing else.
 */

/**
 * A page was written: it may be copied now. Only the page that is next advances; repeats change nothing. A page that splits its
 * shard opens the two halves in the same step, so that the set of open shards is never empty before its time.
 * KEYS ready, shard, totals, open, listing, then a half's hash each. ARGV seq, cursor, isLast, count, bytes, sid, then a half's sid
 * and cursor each. Answers 1 advanced, 0 known already, -2 pages before it are missing.
 */
export const EMIT = `
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
local next = tonumber(redis.call('HGET', KEYS[2], 'next') or '')
if not next then return -1 end
local seq = tonumber(ARGV[1])
if seq < next then return 0 end
if seq > next then return -2 end
redis.call('HSET', KEYS[2], 'next', seq + 1, 'cursor', ARGV[2])
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[2], 'last', seq)
  redis.call('SREM', KEYS[5], ARGV[6])
end
for i = 6, #KEYS do
  local at = 7 + (i - 6) * 2
  redis.call('HSET', KEYS[i], 'next', 1, 'wm', 0, 'cursor', ARGV[at + 1])
  redis.call('SADD', KEYS[4], ARGV[at])
  redis.call('SADD', KEYS[5], ARGV[at])
  redis.call('HINCRBY', KEYS[3], 'shards', 1)
end
redis.call('HINCRBY', KEYS[3], 'listed', ARGV[4])
redis.call('HINCRBY', KEYS[3], 'listedBytes', ARGV[5])
redis.call('HINCRBY', KEYS[3], 'pages', 1)
return 1
`;

/** Nothing is open any more: no shard, no page of a retry, no huge object. */
const ALL_DONE = (open: number, retry: number, big: number): string =>
  `redis.call('SCARD', KEYS[${open}]) == 0 and redis.call('SCARD', KEYS[${retry}]) == 0 and redis.call('SCARD', KEYS[${big}]) == 0`;

/**
 * A page of epoch 0 has its outcome in the ledger: count it, once, whoever asks and however often. The watermark is the number
 * up to which every page is done; pages done above it wait in a set, so memory is O(window). Its huge objects are open from the
 * same moment on.
 * KEYS ready, shard, outOfOrder, totals, open, retry, big. ARGV sid, seq, number of huge objects, each of them, then pairs of field
 * and amount. Answers 2 counted and nothing is open any more, 1 counted, 0 counted before, -2 never emitted.
 */
export const COMMIT = `
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
local st = redis.call('HMGET', KEYS[2], 'wm', 'next', 'last')
if not st[1] then return -1 end
local wm, seq = tonumber(st[1]), tonumber(ARGV[2])
if seq >= tonumber(st[2]) then return -2 end
if seq <= wm or redis.call('SISMEMBER', KEYS[3], seq) == 1 then return 0 end
redis.call('SADD', KEYS[3], seq)
while redis.call('SREM', KEYS[3], wm + 1) == 1 do wm = wm + 1 end
redis.call('HSET', KEYS[2], 'wm', wm)
redis.call('HINCRBY', KEYS[4], 'committed', 1)
local from = 4 + tonumber(ARGV[3])
for i = 4, from - 1 do redis.call('SADD', KEYS[7], ARGV[i]) end
for i = from, #ARGV, 2 do redis.call('HINCRBY', KEYS[4], ARGV[i], ARGV[i + 1]) end
if st[3] and wm == tonumber(st[3]) then
  redis.call('SREM', KEYS[5], ARGV[1])
  if ${ALL_DONE(5, 6, 7)} then return 2 end
end
return 1
`;

/**
 * The same for a page of a retry epoch: membership of the epoch's set is what makes it count once.
 * KEYS ready, retry, totals, open, big. ARGV member, number of huge objects, each of them, then pairs of field and amount.
 */
export const COMMIT_RETRY = `
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if redis.call('SREM', KEYS[2], ARGV[1]) == 0 then return 0 end
local from = 3 + tonumber(ARGV[2])
for i = 3, from - 1 do redis.call('SADD', KEYS[5], ARGV[i]) end
for i = from, #ARGV, 2 do redis.call('HINCRBY', KEYS[3], ARGV[i], ARGV[i + 1]) end
if ${ALL_DONE(4, 2, 5)} then return 2 end
return 1
`;

/**
 * A huge object has its outcome in the ledger: membership of the set of open ones is what makes it count once.
 * KEYS ready, big, totals, open, retry, parts. ARGV name, then pairs of field and amount.
 */
export const COMMIT_BIG = `
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
redis.call('HDEL', KEYS[6], ARGV[1])
if redis.call('SREM', KEYS[2], ARGV[1]) == 0 then return 0 end
for i = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[3], ARGV[i], ARGV[i + 1]) end
if ${ALL_DONE(4, 5, 2)} then return 2 end
return 1
`;

/** Gives a lock back, unless it has run out and is somebody else's by now. KEYS lock. ARGV token. */
export const UNLOCK = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`;
