/** Asks for the API's token where the server wants one. */
import { useState } from 'react';
import type { GodwitError } from '../../src/base/errors.ts';
import { TextField } from '../parts/field.tsx';
import { sentence } from '../parts/notice.tsx';
import { PageHead } from '../parts/panel.tsx';
import { accessToken } from '../session/access-token.ts';

export function SignInPage(props: { problem: GodwitError; signIn: (token: string) => void }): React.JSX.Element {
  const [token, setToken] = useState('');
  const submit = (event: React.FormEvent): void => {
    event.preventDefault();
    if (token.trim() !== '') props.signIn(token.trim());
  };
  const fix = String(props.problem.details['fix'] ?? '');
  return (
    <>
      <PageHead title="Sign in" lead="Here one needs a token of this daemon." />
      <form className="form" onSubmit={submit} style={{ maxWidth: 460 }}>
        <TextField
          label="Token"
          type="password"
          value={token}
          onChange={setToken}
          // One was given, and it was not it.
          wrong={accessToken() === undefined ? undefined : 'This token does not count here.'}
          hint="The one in the file of --token-file, or one that godwit token new has made. This tab forgets it when it is closed."
        />
        {/* Refused for where the page came from, not for want of a token. */}
        {fix.includes('localhost') ? <p className="soft">{sentence(fix)}</p> : null}
        <div className="actions">
          <button type="submit" className="primary">
            Sign in
          </button>
        </div>
      </form>
    </>
  );
}
