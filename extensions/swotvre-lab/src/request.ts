import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

/** The unexpected end of a kernel. */
export interface IKernelDeath {
  readonly name: string;
  readonly time: string;
  /** Whether it was killed because the session's memory was used up. */
  readonly memory: boolean;
}

/**
 * What the server says about its session; the keys are explained in
 * `swotvre_lab/routes.py`.
 */
export interface ISessionAnswer {
  readonly size: string | null;
  readonly title: string;
  readonly cores: number | null;
  readonly memory_gib: number | null;
  readonly now: string;
  readonly ends_at: string | null;
  readonly seconds_left: number | null;
  readonly busy_kernels: number;
  readonly idle_since: string | null;
  readonly idle_seconds: number;
  readonly idle_timeout_seconds: number | null;
  readonly idle_warning_seconds: number | null;
  readonly idle_ends_at: string | null;
  readonly kernel_deaths: readonly IKernelDeath[];
}

/** The server does not know the endpoint: its half of the extension is not enabled. */
export class MissingEndpointError extends Error {}

/** Ask what the session is and when it ends. Does not count as activity. */
export function getSession(
  settings: ServerConnection.ISettings
): Promise<ISessionAnswer> {
  return request('session?no_track_activity=1', { method: 'GET' }, settings);
}

/** Tell the server that the user is still there. */
export function keepSession(
  settings: ServerConnection.ISettings
): Promise<ISessionAnswer> {
  return request('activity', { method: 'POST' }, settings);
}

async function request(
  endpoint: string,
  init: RequestInit,
  settings: ServerConnection.ISettings
): Promise<ISessionAnswer> {
  const url = URLExt.join(settings.baseUrl, 'swotvre', endpoint);
  const response = await ServerConnection.makeRequest(url, init, settings);
  if (response.status === 404) {
    throw new MissingEndpointError(`no endpoint at ${url}`);
  }
  if (!response.ok) {
    throw await ServerConnection.ResponseError.create(response);
  }
  return (await response.json()) as ISessionAnswer;
}
