/**
 * A button that asks the API for something: shows that it is on its way, and hands an error on. What cannot be undone asks
 * once more, in its place, with the way back focused first.
 */
import { useState } from 'react';

export function ActionButton(props: {
  children: React.ReactNode;
  act: () => Promise<unknown>;
  onError: (error: unknown) => void;
  look?: 'primary' | 'danger' | 'quiet' | 'plain';
  small?: boolean;
  /** What is asked before; absent: it can be undone. */
  confirm?: { readonly question: string; readonly yes: string };
  disabled?: boolean;
}): React.JSX.Element {
  const [isBusy, setBusy] = useState(false);
  const [isAsking, setAsking] = useState(false);
  const { confirm, look = 'plain' } = props;
  const act = async (): Promise<void> => {
    setBusy(true);
    setAsking(false);
    try {
      await props.act();
    } catch (error) {
      props.onError(error);
    } finally {
      setBusy(false);
    }
  };
  if (isAsking && confirm) {
    return (
      <fieldset className="actions" aria-label={confirm.question}>
        <span>{confirm.question}</span>
        {/* biome-ignore lint/a11y/noAutofocus: the question took the place of the button that had the focus */}
        <button type="button" autoFocus onClick={() => setAsking(false)}>
          No
        </button>
        <button type="button" className="danger" onClick={() => void act()}>
          {confirm.yes}
        </button>
      </fieldset>
    );
  }
  return (
    <button
      type="button"
      className={`${look}${props.small === true ? ' small' : ''}`}
      disabled={isBusy || props.disabled === true}
      aria-busy={isBusy}
      onClick={() => (confirm ? setAsking(true) : void act())}
    >
      {props.children}
    </button>
  );
}
