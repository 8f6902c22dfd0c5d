/** The API's bearer token, kept by the browser for this tab only (sessionStorage) and never written anywhere else. */
const KEY = 'godwit.token';

export function accessToken(): string | undefined {
  return sessionStorage.getItem(KEY) ?? undefined;
}

export function keepAccessToken(token: string | null): void {
  if (token === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, token);
}
