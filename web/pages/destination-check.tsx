/** The check of a destination, asked for by itself whenever another one is chosen, and what it says. */
import { useEffect, useRef, useState } from 'react';
import type { CheckResult } from '../../src/migration/handle.ts';
import { ErrorNotice } from '../parts/notice.tsx';
import { useCalls } from '../session/host-context.ts';
import { CheckOutcome } from './check-outcome.tsx';

/** After the last key: nobody waits, and nobody is asked for every letter. */
const CHECK_AFTER_MS = 400;

export type Check = { readonly to: string } & (
  | { readonly kind: 'asking' }
  | { readonly kind: 'answered'; readonly result: CheckResult }
  | { readonly kind: 'failed'; readonly error: unknown }
);

export function DestinationCheck({
  check,
  name,
  again,
}: {
  check: Check | undefined;
  name: string;
  again: () => void;
}): React.JSX.Element {
  return (
    <div aria-live="polite" className="stack-tight">
      {check === undefined ? null : check.kind === 'asking' ? (
        <p className="soft">
          Asking {check.to} whether it can take {name}…
        </p>
      ) : check.kind === 'failed' ? (
        <ErrorNotice error={check.error} title="The check could not be made." />
      ) : (
        <CheckOutcome result={check.result} vm={name} to={check.to} />
      )}
      {check?.kind === 'failed' || (check?.kind === 'answered' && !check.result.ok) ? (
        <div>
          <button type="button" onClick={again}>
            Check again
          </button>
        </div>
      ) : null}
    </div>
  );
}

export function useCheck(name: string, to: string): { check: Check | undefined; again: () => void } {
  const calls = useCalls();
  const [check, setCheck] = useState<Check | undefined>(undefined);
  const [turn, setTurn] = useState(0);
  const isFirst = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a further turn asks again
  useEffect(() => {
    if (to === '') {
      setCheck(undefined);
      return undefined;
    }
    let isOver = false;
    const ask = async (): Promise<void> => {
      setCheck({ kind: 'asking', to });
      try {
        const result = await calls.check(name, to);
        if (!isOver) setCheck({ kind: 'answered', to, result });
      } catch (error) {
        if (!isOver) setCheck({ kind: 'failed', to, error });
      }
    };
    setCheck({ kind: 'asking', to });
    const timer = setTimeout(() => void ask(), isFirst.current ? 0 : CHECK_AFTER_MS);
    isFirst.current = false;
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [calls, name, to, turn]);
  return { check: check?.to === to ? check : undefined, again: () => setTurn((before) => before + 1) };
}
