package ai.edgekit.demo;

import android.app.ActivityManager;
import android.app.ApplicationExitInfo;
import android.content.Context;
import android.content.SharedPreferences;
import android.os.Build;

import ai.edgekit.demo.runtime.CrashMarker;
import ai.edgekit.demo.runtime.DelegateKind;

import java.util.List;

/**
 * Remembers in the preferences which delegate was being tried. What is still marked as being tried when the process
 * starts took the process before it down.
 */
final class PreferencesCrashMarker implements CrashMarker {
    private static final String TRYING = "trying";
    private static final String CRASHED = "crashed";

    private final SharedPreferences marks;

    /** Call it once per process, before anything is tried. */
    PreferencesCrashMarker(Context context) {
        marks = context.getSharedPreferences("crash_marker", Context.MODE_PRIVATE);
        boolean crash = !endedByUserOrSystem(context);
        SharedPreferences.Editor editor = marks.edit();
        for (String key : marks.getAll().keySet()) {
            if (TRYING.equals(marks.getString(key, ""))) {
                if (crash) {
                    editor.putString(key, CRASHED);
                } else {
                    editor.remove(key);
                }
            }
        }
        editor.commit();
    }

    @Override
    public boolean crashed(DelegateKind kind, String digest) {
        return CRASHED.equals(marks.getString(key(kind, digest), ""));
    }

    @Override
    public void trying(DelegateKind kind, String digest) {
        marks.edit().putString(key(kind, digest), TRYING).commit();
    }

    @Override
    public void done(DelegateKind kind, String digest) {
        marks.edit().remove(key(kind, digest)).commit();
    }

    /** Whether any delegate crashed with this model. */
    boolean anyCrashed(String digest) {
        for (DelegateKind kind : DelegateKind.values()) {
            if (crashed(kind, digest)) {
                return true;
            }
        }
        return false;
    }

    /** Lets everything be tried again with this model. */
    void forget(String digest) {
        for (DelegateKind kind : DelegateKind.values()) {
            done(kind, digest);
        }
    }

    private static String key(DelegateKind kind, String digest) {
        return kind.id + ":" + digest;
    }

    /** Whether the process before this one was closed rather than crashed; known since Android 11. */
    private static boolean endedByUserOrSystem(Context context) {
        if (Build.VERSION.SDK_INT < 30) {
            return false;
        }
        List<ApplicationExitInfo> exits = context.getSystemService(ActivityManager.class)
                .getHistoricalProcessExitReasons(context.getPackageName(), 0, 1);
        if (exits.isEmpty()) {
            return false;
        }
        switch (exits.get(0).getReason()) {
            case ApplicationExitInfo.REASON_USER_REQUESTED:
            case ApplicationExitInfo.REASON_USER_STOPPED:
            case ApplicationExitInfo.REASON_PERMISSION_CHANGE:
            case ApplicationExitInfo.REASON_DEPENDENCY_DIED:
            case ApplicationExitInfo.REASON_FREEZER:
            case ApplicationExitInfo.REASON_PACKAGE_STATE_CHANGE:
            case ApplicationExitInfo.REASON_PACKAGE_UPDATED:
            case ApplicationExitInfo.REASON_OTHER:
                return true;
            case ApplicationExitInfo.REASON_LOW_MEMORY:
                // In the foreground it was the delegate that took the memory, and would again.
                return exits.get(0).getImportance() > ActivityManager.RunningAppProcessInfo.IMPORTANCE_FOREGROUND;
            default:
                return false;
        }
    }
}
