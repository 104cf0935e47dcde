// Commands about L3 passthrough: looked at, and a trial confirmed, taken back or tried again.

import type { PassthroughActionView, PassthroughView } from '../api/views.ts';
import type { Context } from './context.ts';
import { ABSENT, OK } from './exit.ts';
import { renderPassthrough } from './render-passthrough.ts';

/** The whole of it; exit 1 where nothing passes. */
export async function showPassthrough(context: Context): Promise<number> {
  const view = await context.client().get<PassthroughView>('/v1/passthrough');
  context.show(view, renderPassthrough);
  return view.state === 'up' || view.state === 'degraded' ? OK : ABSENT;
}

/** `name` as in the path. */
export async function actOnPassthrough(context: Context, name: string): Promise<number> {
  const view = await context.client().post<PassthroughActionView>(`/v1/passthrough/${name}`, {});
  context.show(view, (one) => `${one.text}\n`);
  return OK;
}
