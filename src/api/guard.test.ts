import fastify, { type FastifyInstance } from 'fastify';
import { afterEach, expect, test } from 'vitest';
import { accessWith } from '../../test/support/api-access.ts';
import type { AccessPolicy } from './access.ts';
import { addGuard } from './guard.ts';
import type { Right, RouteRight } from './right.ts';

let app: FastifyInstance;
afterEach(() => app.close());

function guarded(access: AccessPolicy = accessWith(null)): FastifyInstance {
  app = fastify();
  addGuard(app, access);
  return app;
}

function holding(...rights: Right[]): AccessPolicy {
  return { holderOf: () => ({ name: 'ops', rights }), localCaller: () => undefined, onChanged: () => undefined };
}

async function statusOf(right: RouteRight, access: AccessPolicy, token = true): Promise<number> {
  guarded(access).get('/x', { config: { right } }, () => 'answer');
  const headers = token ? { authorization: 'Bearer x' } : {};
  const { statusCode } = await app.inject({ url: '/x', headers });
  return statusCode;
}

test('a route that does not say its right is not served', () => {
  expect(() => guarded().get('/forgotten', () => 'answer')).toThrow('/forgotten does not say its right');
});

test.each<[RouteRight, Right[], boolean]>([
  ['read', ['read'], true],
  ['read', ['operate', 'migrate-send', 'migrate-receive'], false],
  ['any token', ['operate'], true],
  ['everybody', [], true],
  [{ oneOf: ['read', 'operate'], of: () => ['operate'] }, ['operate'], true],
  [{ oneOf: ['read', 'operate'], of: () => ['operate'] }, ['read'], false],
  [{ oneOf: ['read', 'operate'], of: () => ['read', 'operate'] }, ['operate'], false],
])('%j and a token with %j: %s', async (right, rights, isAnswered) => {
  guarded(holding(...rights)).get('/x', { config: { right } }, () => 'answer');
  const answer = await app.inject({ url: '/x', headers: { authorization: 'Bearer x' } });
  expect(answer.body === 'answer').toBe(isAnswered);
});

test('what a body asks for can need a further right, and rights that are taken away while it comes do not count', async () => {
  let rights: Right[] = ['migrate-send'];
  const access = { ...holding(), holderOf: () => ({ name: 'ops', rights }) };
  const config = {
    right: 'migrate-send',
    alsoNeeds: ({ body }: { body: unknown }) => (body === 'more' ? ['operate'] : []),
  };
  guarded(access).post('/x', { config: config as object }, () => 'answer');
  app.addContentTypeParser('text/slow', { parseAs: 'string' }, (_request, body, done) => {
    if (body === 'revoked') rights = ['read'];
    done(null, body);
  });
  const ask = async (body: string): Promise<string> => {
    const headers = { authorization: 'Bearer x', 'content-type': 'text/slow' };
    return (await app.inject({ method: 'POST', url: '/x', headers, body })).body;
  };
  expect(await ask('usual')).toBe('answer');
  expect(await ask('more')).toContain('operate');
  rights = ['migrate-send', 'operate'];
  expect(await ask('more')).toBe('answer');
  expect(await ask('revoked')).toContain('migrate-send');
});

test('without a token only what is everybody’s is answered', async () => {
  expect(await statusOf('everybody', accessWith('0123456789abcdef'), false)).toBe(200);
  await app.close();
  expect(await statusOf('any token', accessWith('0123456789abcdef'), false)).not.toBe(200);
});

test('what does not exist is told to no stranger', async () => {
  guarded(accessWith('0123456789abcdef')).setErrorHandler((error, _request, reply) => {
    void reply.code(418).send((error as { code?: string }).code);
  });
  expect((await app.inject('/nothing')).body).toBe('GW_API_UNAUTHORIZED');
});
