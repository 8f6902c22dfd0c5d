/** What further connections of a migration are handed on with. */
import { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { encodeControl } from '../wire/message-codec.ts';
import { openFurther } from './further-connections.ts';
import { listen } from './listener.ts';
import { newSessionKey } from './source-offer.ts';

const STREAM = 'NBDMAGICIHAVEOPT';

requireCapability('kernel')('a further connection', () => {
  test.each([
    'disk',
    'urgent',
  ] as const)('%s: what the other host says with its answer is still there', async (purpose) => {
    const joined = encodeControl({ kind: 'joined', phase: 'receiving', epoch: 1 });
    const listener = await listen({
      ...{ host: '127.0.0.1', port: 0, hostName: 'b', dscp: null, tls: null, features: [] },
      screen: () => Promise.reject(new Error('nobody offers a VM')),
      onOffer: () => undefined,
      onJoin: (_, takeFd) => {
        new Socket({ fd: takeFd() }).write(Buffer.concat([joined, Buffer.from(STREAM)]));
        return 'taken';
      },
    });
    const host = {
      to: `127.0.0.1:${listener.port}`,
      hostName: 'a',
      dscp: null,
      tls: null,
      sessionKey: newSessionKey(),
    };
    const socket = new Socket({ fd: await openFurther(host, purpose, AbortSignal.timeout(10_000)) });
    let text = '';
    for await (const chunk of socket) {
      text += String(chunk);
      if (text.length >= STREAM.length) break;
    }
    expect(text).toBe(STREAM);
    await listener.close();
  });
});
