/** Asks for the API's token when the host wants one. */
import { useState } from 'react';
import type { GodwitError } from '../../src/base/errors.ts';
import { TextField } from '../parts/field.tsx';
import { sentence } from '../parts/notice.tsx';
import { PageHead } from '../parts/panel.tsx';
import { accessToken } from '../session/access-token.ts';
import { useHostStore } from '../session/host-context.ts';

export function SignInPage({ problem }: { problem: GodwitError | null }): React.JSX.Element {
  const store = useHostStore();
  const [token, setToken] = useState('');
  // A wrong one was given; else nothing is wrong yet.
  const wasGiven = accessToken() !== undefined;
  const wrong = wasGiven ? 'This is not the token of this host.' : undefined;
  const submit = (event: React.FormEvent): void => {
    event.preventDefault();
    if (token.trim() !== '') store.signIn(token.trim());
  };
  const isRebound = problem?.details['fix'] !== undefined && String(problem.details['fix']).includes('localhost');
  return (
    <>
      <PageHead title="Sign in" lead="This host gives access to who has its token." />
      <form className="form" onSubmit={submit} style={{ maxWidth: 460 }}>
        <TextField
          label="Token"
          type="password"
          value={token}
          onChange={setToken}
          wrong={wrong}
          hint="It is in the file that the host was started with (--token-file). This tab forgets it when it is closed."
        />
        {isRebound && problem !== null ? <p className="soft">{sentence(String(problem.details['fix']))}</p> : null}
        <div className="actions">
          <button type="submit" className="primary">
            Sign in
          </button>
        </div>
      </form>
    </>
  );
}
