/** What a check of a migration has found: all clear, or each thing in the way with its fix. */
import type { CheckResult } from '../../src/migration/handle.ts';
import { Notice, sentence } from '../parts/notice.tsx';
import { count } from '../parts/words.ts';

export function CheckOutcome({ result, vm, to }: { result: CheckResult; vm: string; to: string }): React.JSX.Element {
  const { ok, outcome, blockers, notes } = result;
  return (
    <>
      {ok ? (
        <Notice tone="good">
          <strong>
            Nothing is in the way: {to} can take {vm}.
          </strong>
        </Notice>
      ) : (
        <Notice
          tone="bad"
          title={
            outcome === 'failed' ? 'The check could not be finished.' : `${count(blockers.length, 'thing')} in the way`
          }
        >
          <ul className="stack-tight">
            {blockers.map(({ id, what, reason, fix }) => (
              <li key={`${id} ${what}`}>
                <b>{what}</b>: {sentence(reason)}
                <br />
                To fix it: {sentence(fix)}
              </li>
            ))}
          </ul>
        </Notice>
      )}
      {notes.map((note) => (
        <p key={note} className="soft">
          {sentence(note)}
        </p>
      ))}
    </>
  );
}
