package ai.edgekit.demo;

import android.app.Application;

import ai.edgekit.demo.runtime.DelegateFactory;

/** What the screens share. */
public final class DemoApplication extends Application {
    /** Threads of the CPU; more than the large cores of a phone make it slower. */
    static final int THREADS = Math.max(1, Math.min(4, Runtime.getRuntime().availableProcessors()));

    ModelStore models;
    DelegateChoice choice;
    PreferencesCrashMarker marker;
    DelegateFactory delegates;
    SelfTestTask selfTest;

    @Override
    public void onCreate() {
        super.onCreate();
        models = new ModelStore(this);
        marker = new PreferencesCrashMarker(this);
        choice = new DelegateChoice(this, marker);
        delegates = new AndroidDelegates(this);
        selfTest = new SelfTestTask(this);
    }
}
