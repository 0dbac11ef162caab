package ai.edgekit.demo;

import android.app.Activity;
import android.content.res.TypedArray;
import android.graphics.Color;
import android.graphics.Insets;
import android.graphics.Rect;
import android.os.Build;
import android.view.DisplayCutout;
import android.view.View;
import android.view.WindowInsets;
import android.view.WindowInsetsController;

/** Lets a screen reach under the system's bars, and tells it how much of its sides they cover. */
final class EdgeToEdge {
    private EdgeToEdge() {}

    /** Gets the covered margins of the window, in pixels, whenever they change. */
    interface Listener {
        void onCovered(Rect covered);
    }

    /** Lays `screen`, the root of the activity's content, out under the bars. Call it after setContentView. */
    @SuppressWarnings("deprecation")
    static void apply(Activity activity, View screen, final Listener listener) {
        if (Build.VERSION.SDK_INT >= 30) {
            activity.getWindow().setDecorFitsSystemWindows(false);
            activity.getWindow().setNavigationBarColor(Color.TRANSPARENT); // the system adds what buttons need
            TypedArray theme = activity.obtainStyledAttributes(new int[] {android.R.attr.windowLightStatusBar});
            setDarkIcons(activity, theme.getBoolean(0, false));
            theme.recycle();
        } else {
            View decor = activity.getWindow().getDecorView();
            decor.setSystemUiVisibility(decor.getSystemUiVisibility()
                    | View.SYSTEM_UI_FLAG_LAYOUT_STABLE
                    | View.SYSTEM_UI_FLAG_LAYOUT_FULLSCREEN);
        }
        screen.setOnApplyWindowInsetsListener(new View.OnApplyWindowInsetsListener() {
            @Override
            public WindowInsets onApplyWindowInsets(View view, WindowInsets insets) {
                listener.onCovered(covered(insets));
                return insets;
            }
        });
        listener.onCovered(new Rect());
    }

    /** Whether the icons of the bars are dark, for a light background; before Android 11 those of the status bar. */
    @SuppressWarnings("deprecation")
    static void setDarkIcons(Activity activity, boolean dark) {
        View decor = activity.getWindow().getDecorView();
        if (Build.VERSION.SDK_INT >= 30) {
            WindowInsetsController controller = decor.getWindowInsetsController();
            if (controller != null) {
                int appearance = WindowInsetsController.APPEARANCE_LIGHT_STATUS_BARS
                        | WindowInsetsController.APPEARANCE_LIGHT_NAVIGATION_BARS;
                controller.setSystemBarsAppearance(dark ? appearance : 0, appearance);
            }
        } else {
            int flags = decor.getSystemUiVisibility() & ~View.SYSTEM_UI_FLAG_LIGHT_STATUS_BAR;
            decor.setSystemUiVisibility(dark ? flags | View.SYSTEM_UI_FLAG_LIGHT_STATUS_BAR : flags);
        }
    }

    @SuppressWarnings("deprecation")
    private static Rect covered(WindowInsets insets) {
        if (Build.VERSION.SDK_INT >= 30) {
            Insets bars = insets.getInsets(WindowInsets.Type.systemBars() | WindowInsets.Type.displayCutout());
            return new Rect(bars.left, bars.top, bars.right, bars.bottom);
        }
        Rect bars = new Rect(
                insets.getSystemWindowInsetLeft(), insets.getSystemWindowInsetTop(),
                insets.getSystemWindowInsetRight(), insets.getSystemWindowInsetBottom());
        DisplayCutout cutout = Build.VERSION.SDK_INT >= 28 ? insets.getDisplayCutout() : null;
        if (cutout != null) {
            bars.left = Math.max(bars.left, cutout.getSafeInsetLeft());
            bars.top = Math.max(bars.top, cutout.getSafeInsetTop());
            bars.right = Math.max(bars.right, cutout.getSafeInsetRight());
            bars.bottom = Math.max(bars.bottom, cutout.getSafeInsetBottom());
        }
        return bars;
    }
}
