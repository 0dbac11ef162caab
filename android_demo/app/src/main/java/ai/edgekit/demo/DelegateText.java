package ai.edgekit.demo;

import ai.edgekit.demo.runtime.DelegateKind;

/** Delegates and how they did, in words, icons and colours. */
final class DelegateText {
    private DelegateText() {}

    static int name(DelegateKind kind) {
        switch (kind) {
            case GPU:
                return R.string.delegate_gpu;
            case NNAPI:
                return R.string.delegate_nnapi;
            default:
                return R.string.delegate_cpu;
        }
    }

    static int status(String status) {
        switch (status) {
            case "ok":
                return R.string.status_ok;
            case "wrong":
                return R.string.status_wrong;
            case "fallback":
                return R.string.status_fallback;
            case "crashed":
                return R.string.status_crashed;
            case "unavailable":
                return R.string.status_unavailable;
            default:
                return R.string.status_failed;
        }
    }

    static int icon(String status) {
        switch (status) {
            case "ok":
                return R.drawable.ic_good;
            case "fallback":
                return R.drawable.ic_warning;
            case "unavailable":
                return R.drawable.ic_none;
            default:
                return R.drawable.ic_bad;
        }
    }

    static int colour(String status) {
        switch (status) {
            case "ok":
                return R.color.good;
            case "fallback":
                return R.color.warning;
            case "unavailable":
                return R.color.text_secondary;
            default:
                return R.color.bad;
        }
    }

    static int thermal(String status) {
        switch (status) {
            case "none":
                return R.string.thermal_none;
            case "light":
                return R.string.thermal_light;
            case "moderate":
                return R.string.thermal_moderate;
            case "severe":
                return R.string.thermal_severe;
            case "critical":
                return R.string.thermal_critical;
            case "emergency":
                return R.string.thermal_emergency;
            case "shutdown":
                return R.string.thermal_shutdown;
            default:
                return R.string.thermal_unknown;
        }
    }
}
