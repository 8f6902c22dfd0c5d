/** Whether the server of this page is a host or a fleet's controller: it says so. */
import { useEffect, useState } from 'react';
import { asGodwitError, type GodwitError, hasCode } from '../../src/base/errors.ts';
import { accessToken } from './access-token.ts';
import { FetchCarrier } from './fetch-carrier.ts';

export type ServerKind =
  | { readonly kind: 'asking' | 'host' | 'fleet' }
  | { readonly kind: 'denied' | 'lost'; readonly problem: GodwitError };

const RETRY_MS = 2_000;

/** @param turn - asked again when it changes, such as after signing in */
export function useServerKind(base: string, turn: number): ServerKind {
  const [kind, setKind] = useState<ServerKind>({ kind: 'asking' });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another turn asks again
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const ask = async (): Promise<void> => {
      const found = await serverKind(base);
      if (isOver) return;
      setKind(found);
      if (found.kind === 'lost') timer = setTimeout(() => void ask(), RETRY_MS);
    };
    void ask();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [base, turn]);
  return kind;
}

async function serverKind(base: string): Promise<ServerKind> {
  try {
    const carrier = new FetchCarrier(base, accessToken);
    const { serves } = await carrier.json<{ readonly serves: 'host' | 'fleet' }>({ method: 'GET', path: '/healthz' });
    return { kind: serves };
  } catch (error) {
    const problem = asGodwitError(error);
    return { kind: hasCode(problem, 'GW_API_UNAUTHORIZED') ? 'denied' : 'lost', problem };
  }
}
