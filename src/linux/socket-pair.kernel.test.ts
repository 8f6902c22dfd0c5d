import { expect, test } from 'vitest';
import { closeFd, receiveSome, sendAll, setLinkOption, setSocketOption } from './socket.ts';
import { openSocketPair } from './socket-pair.ts';

test('a message is received as it was sent, one by one', () => {
  const { near, far } = openSocketPair('messages');
  sendAll(near, Buffer.from('first'));
  sendAll(near, Buffer.from('second'));
  const into = Buffer.alloc(100);
  expect(into.toString('latin1', 0, receiveSome(far, into))).toBe('first');
  expect(into.toString('latin1', 0, receiveSome(far, into))).toBe('second');
  expect(receiveSome(far, into)).toBe(-1);
  closeFd(far);
  expect(sendAll(near, Buffer.from('late')).kind).toBe('peerGone');
  closeFd(near);
});

test('a link that leads to a relay has no options of TCP, and does not mind', () => {
  const { near, far } = openSocketPair('stream');
  expect(() => setSocketOption(near, 'noDelay', 1)).toThrow(/EOPNOTSUPP/);
  setLinkOption(near, 'noDelay', 1);
  closeFd(near);
  closeFd(far);
});
